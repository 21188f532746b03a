"""The tests' network at work in MLServer, by ONNX Runtime. Runs in MLServer's environment, not in ours."""

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Network(MLModel):
    async def load(self) -> bool:
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (given,) = payload.inputs
        picture = NumpyCodec.decode_input(given).astype(np.uint8)
        names = [output.name for output in payload.outputs]
        planes = self.session.run(names, {given.name: picture})
        told = [NumpyCodec.encode_output(name, plane) for name, plane in zip(names, planes, strict=True)]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=told)

#!/bin/sh
# The command qc as the service runs it, with its user, settings and secrets; install.sh makes it /usr/local/bin/qc, for root.
# Without them it would open a data folder and a database that nobody else uses. Its working folder is /var/lib/qc.
exec systemd-run --quiet --pty --pipe --wait --collect --uid=qc --gid=qc --working-directory=/var/lib/qc \
    --property=EnvironmentFile=/etc/qc/qc.env --property=EnvironmentFile=/etc/qc/secrets/server.env \
    --property=UMask=0077 --setenv=HOME=/var/lib/qc --setenv=NO_ALBUMENTATIONS_UPDATE=1 /opt/qc/.venv/bin/qc "$@"

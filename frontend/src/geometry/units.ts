/** Lengths that know what they are: a number of one kind cannot be given where the other is asked for. */

export type FramePx = number & { readonly unit: "px in the frame" };
export type ScreenPx = number & { readonly unit: "px on the screen" };
export type Mm = number & { readonly unit: "mm on the part" };

export const framePx = (value: number): FramePx => value as FramePx;
export const screenPx = (value: number): ScreenPx => value as ScreenPx;
export const mm = (value: number): Mm => value as Mm;

export const toMm = (length: FramePx, scale: { mmPerPx: number }): Mm => mm(length * scale.mmPerPx);
export const toScreen = (length: FramePx, scale: { screenPxPerPx: number }): ScreenPx =>
  screenPx(length * scale.screenPxPerPx);

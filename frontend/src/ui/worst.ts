/** The image to show small: the one most likely to have a defect; the first where none was judged. Pure. */
export const worstImage = (images: readonly { n: number; score: number | null }[]): number =>
  images.reduce((worst, image) => ((image.score ?? 0) > (worst.score ?? 0) ? image : worst), images[0] ?? { n: 0, score: 0 }).n;

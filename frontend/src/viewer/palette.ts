/** Okabe and Ito's colours for defect classes, by class id; orange first: it stands out most from metal. */
const COLOURS = ["#e69f00", "#56b4e9", "#f0e442", "#cc79a7", "#009e73", "#d55e00", "#0072b2"] as const;

export const classColour = (classId: number): string => COLOURS[Math.max(0, classId - 1) % COLOURS.length] ?? COLOURS[0];

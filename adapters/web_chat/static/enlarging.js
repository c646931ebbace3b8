/** Which pictures the bot makes larger. */

/** Pixels of the longest side that any picture has. */
const MAX_SIDE = 2048;
let times = null;
let pixels = 0;

/** Take over what the bot tells of itself, by /api/about. */
export function knowEnlarging(about) {
  times = about.upscale;
  pixels = about.limits.upscaled_pixels;
}

/** Whether the bot makes a picture of this size larger. */
export const canUpscale = ({ width, height }) =>
  Boolean(times) && Math.max(width, height) * times <= MAX_SIDE && width * height * times ** 2 <= pixels;

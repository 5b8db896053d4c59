/** What a data key is for. It is bound into the wrapped key: under another purpose it does not unwrap. */

/** Page content is recognised across the whole deployment by one key. */
export const contentPurpose = 'content';

export function desktopPurpose(desktopId: string): string {
  return `desktop/${desktopId}`;
}

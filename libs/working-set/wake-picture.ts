import type { RequestLists } from './requests-in';

const size = { width: 900, height: 420, left: 70, right: 20, top: 50, bottom: 60 } as const;
const plot = { width: size.width - size.left - size.right, height: size.height - size.top - size.bottom } as const;
const pageMiB = 1 / 256;
/** One square for each, at most: more cannot be told apart. */
const mostMarks = 20_000;

/**
 * A picture of a wake, SVG: what was asked for, over time and over memory, and at the left edge, before any time, what was sent
 * ahead. @param pages of the guest's memory @param title of one line
 */
export function pictureOf(
  { ahead, requests }: { readonly ahead: Uint32Array; readonly requests: RequestLists },
  pages: number,
  title: string,
): string {
  const lastMs = Math.max(1, requests.atUs.reduce((most, at) => Math.max(most, at), 0) / 1_000);
  const y = (page: number): number => round(size.top + plot.height * (1 - page / pages));
  const x = (ms: number): number => round(size.left + (plot.width * ms) / lastMs);
  const marks = everyNth(requests.pages.length, (n) => {
    const slow = requests.stallUs[n]! > 5_000 ? ' class="slow"' : '';
    return `<rect x="${x(requests.atUs[n]! / 1_000)}" y="${y(requests.pages[n]!)}" width="2" height="2"${slow}/>`;
  });
  const sent = everyNth(ahead.length, (n) => `<rect x="${size.left - 8}" y="${y(ahead[n]!)}" width="6" height="1"/>`);
  const bottom = size.top + plot.height;
  const times = [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      `<text x="${x(lastMs * share)}" y="${bottom + 18}" text-anchor="middle">${duration(lastMs * share)}</text>`,
  );
  const heights = [0, 0.5, 1].map(
    (share) =>
      `<text x="${size.left - 12}" y="${y(pages * share) + 4}" text-anchor="end">${Math.round(pages * share * pageMiB)} MiB</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" font-family="sans-serif" font-size="12">`,
    '<style>.requests rect { fill: #1f6feb } .requests .slow { fill: #d1242f } .ahead rect { fill: #8c959f }</style>',
    `<rect width="${size.width}" height="${size.height}" fill="#ffffff"/>`,
    `<text x="${size.left}" y="24" font-size="15">${escaped(title)}</text>`,
    `<rect x="${size.left}" y="${size.top}" width="${plot.width}" height="${plot.height}" fill="none" stroke="#d0d7de"/>`,
    `<g class="ahead">${sent.join('')}</g>`,
    `<g class="requests">${marks.join('')}</g>`,
    ...times,
    ...heights,
    `<text x="${size.left}" y="${size.height - 12}">grey: sent ahead · blue: asked for, by the time since the guest ran · red: waited longer than 5 ms</text>`,
    '</svg>',
    '',
  ].join('\n');
}

function everyNth(count: number, mark: (n: number) => string): string[] {
  const step = Math.max(1, Math.ceil(count / mostMarks));
  const marks: string[] = [];
  for (let n = 0; n < count; n += step) marks.push(mark(n));
  return marks;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function duration(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

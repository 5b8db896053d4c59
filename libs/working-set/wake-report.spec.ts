import { pictureOf } from './wake-picture';
import { reportOf } from './wake-report';

const requests = (stallsUs: readonly number[]) => ({
  pages: Uint32Array.from(stallsUs, (_, n) => n),
  atUs: Uint32Array.from(stallsUs, (_, n) => n * 1_000),
  stallUs: Uint32Array.from(stallsUs),
});

test('a report says how many waited, and how long', () => {
  const stalls = Array.from({ length: 200 }, (_, n) => (n + 1) * 100);
  expect(reportOf({ ahead: Uint32Array.of(4, 5, 6), beforeRunning: 2, requests: requests(stalls) })).toEqual({
    ahead: 3,
    aheadBeforeRunning: 2,
    requests: 200,
    stalls: { p50: 10.1, p99: 19.9, longest: 20, together: 2_010 },
  });
});

test('a wake that asked for nothing has waited for nothing', () => {
  const report = reportOf({ ahead: new Uint32Array(0), beforeRunning: 0, requests: requests([]) });
  expect(report).toMatchObject({ requests: 0, stalls: { p50: 0, p99: 0, longest: 0, together: 0 } });
});

test('a picture has a mark for each request, and those that waited long stand out', () => {
  const wake = { ahead: Uint32Array.of(9), requests: requests([100, 6_000, 200]) };
  const picture = pictureOf(wake, 10, 'desk <1> & co');
  expect(picture).toContain('desk &lt;1&gt; &amp; co');
  expect(picture.match(/width="2" height="2"/g)).toHaveLength(3);
  expect(picture.match(/class="slow"/g)).toHaveLength(1);
});

test('a picture of a million requests stays one that can be looked at', () => {
  const many = requests(new Array<number>(1_000_000).fill(50));
  expect(pictureOf({ ahead: many.pages, requests: many }, 1_000_000, 'many').length).toBeLessThan(3_000_000);
});

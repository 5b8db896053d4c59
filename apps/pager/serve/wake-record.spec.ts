import { WakeRecord } from './wake-record';

let nowMs: number;
let record: WakeRecord;

beforeEach(() => {
  nowMs = 1_000;
  jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
  record = new WakeRecord();
});
afterEach(() => jest.restoreAllMocks());

/** Answers at `atMs` what was asked for at `askedMs`, both of the guest's running, which began at 2000. */
function answer(askedMs: number, atMs: number, page = 7): void {
  nowMs = 2_000 + atMs;
  record.answered(page, 2_000 + askedMs);
}

test('a guest does not run while it waits, and waits once for what it waits for at the same time', () => {
  record.answered(1, 900); // before it ran
  nowMs = 2_000;
  record.running();
  answer(10, 30);
  answer(20, 50); // 20 more
  answer(60, 61);
  nowMs = 2_100;
  expect([record.elapsedMs, record.ranMs]).toEqual([100, 59]);
});

test('a wait that began before it ran counts from when it ran', () => {
  nowMs = 2_000;
  record.running();
  answer(-100, 5);
  nowMs = 2_010;
  expect(record.ranMs).toBe(5);
  expect(record.requests()).toEqual({
    pages: Uint32Array.of(7),
    atUs: Uint32Array.of(0),
    stallUs: Uint32Array.of(105_000),
  });
});

import * as handmade from './handmade-checkpoint';
import { inspectCheckpoint } from './inspect-checkpoint';

const plan = handmade.samplePlan();
const { desktopId, checkpointId } = plan;
const keys = { dataKey: { keyId: plan.keyId, key: plan.dataKey }, contentKey: plan.contentKey };

let shelf: handmade.TestShelf;
let objects: Map<string, Buffer>;

beforeAll(async () => {
  shelf = await handmade.TestShelf.make();
  objects = await shelf.put(plan);
});
afterAll(() => shelf.remove());

test('a summary says where the pages went and what the checkpoint needs', async () => {
  const summary = await inspectCheckpoint(await shelf.store(), { desktopId, checkpointId }, keys);
  const size = (object: string): number =>
    objects.get(`desktops/${desktopId}/checkpoints/${checkpointId}/${object}`)!.length;
  const ownPacks = size('pack-00000') + size('pack-00001');
  expect(summary).toMatchObject({
    desktopId,
    checkpointId,
    createdAt: '2026-01-02T03:04:05.678Z',
    sealChecked: true,
    lineage: { previous: '0b0e1c1a-0000-4000-8000-000000000001', depth: 1 },
    memory: { bytes: 64 * 4096 },
    wakeSet: 8,
    superseded: 4,
    objects: {
      pageMap: size('page-map'),
      knownPages: size('known-pages'),
      wakePack: size('wake-pack') + size('wake-pages'),
      ownPacks,
      total: ownPacks + size('page-map') + size('known-pages') + size('wake-pack') + size('wake-pages'),
    },
    packs: [
      { checkpointId, packs: 2, bytes: ownPacks },
      { checkpointId: '0b0e1c1a-0000-4000-8000-000000000001', packs: 1 },
    ],
    diskSources: [{ name: 'image/0', blocks: 13 }, { blocks: 14 }],
  });
  expect(summary.pages.map(({ what, pages }) => [what, pages])).toEqual([
    ['zero', 8],
    ['previous', 1],
    ['disk', 15],
    ['duplicate', 2],
    ['stored', 38],
  ]);
  expect(summary.pages.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
});

test('without keys it says that nobody checked who wrote it; with another key it is refused', async () => {
  const store = await shelf.store();
  expect(await inspectCheckpoint(store, { desktopId, checkpointId }, null)).toMatchObject({ sealChecked: false });
  const other = { ...keys, dataKey: { ...keys.dataKey, keyId: 'another' } };
  await expect(inspectCheckpoint(store, { desktopId, checkpointId }, other)).rejects.toMatchObject({
    code: 'CHECKPOINT_KEY_MISMATCH',
  });
  await expect(inspectCheckpoint(store, { desktopId, checkpointId: 'none' }, keys)).rejects.toMatchObject({
    code: 'CHECKPOINT_UNKNOWN',
  });
});

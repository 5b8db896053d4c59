import { mergeLayers, surveyLayers, type MergeStep } from '@dormouse/hypervisor';
import { SessionLedger } from '@dormouse/ledger';
import { LayerCollector, StoreCollector } from '@dormouse/garbage';
import { createDataSource } from '@dormouse/persistence';
import { openBlobStore, type BlobStore } from '@dormouse/storage';

/**
 * A process that removes and merges, for being killed at it.
 *  `collect DATABASE STORE DISKS NOW`: collects everything, slowly.
 *  `merge DIRECTORY STEP QEMU-IMG FILE…`: merges these layers, and is killed when STEP begins.
 */
async function main([what, ...rest]: readonly string[]): Promise<void> {
  if (what === 'merge') {
    const [directory, dieAt, qemuImg, ...files] = rest;
    const { layers } = await surveyLayers(directory!);
    const run = files.map((file) => layers.find((layer) => layer.file === file)!);
    process.stdout.write('begins\n');
    const onStep = (step: MergeStep): void => void (step === dieAt && process.kill(process.pid, 'SIGKILL'));
    return mergeLayers(directory!, run, { qemuImg: qemuImg!, onStep });
  }
  const [databaseUrl, storeUrl, disksDir, nowMs] = rest;
  const dataSource = await createDataSource(databaseUrl!, { poolSize: 2 }).initialize();
  const store = await openBlobStore(storeUrl!);
  const slowly: BlobStore = Object.assign(Object.create(store) as BlobStore, {
    delete: async (key: string) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      await store.delete(key);
    },
  });
  const now = () => Number(nowMs);
  const common = { store: slowly, ledger: new SessionLedger(dataSource), graceMs: 0, now };
  process.stdout.write('begins\n');
  await new StoreCollector(common).collectAll();
  const forget = () => Promise.resolve();
  const here = { hostId: 'host-1', disksDir: disksDir!, runRoot: '/nowhere', qemuImg: 'qemu-img', forget };
  await new LayerCollector({ ...common, ...here }).collectAll(true);
  await store.close();
  await dataSource.destroy();
}

void main(process.argv.slice(2));

import { isDormouseError } from '@dormouse/errors';
import { openBlobStore, putBlob } from '@dormouse/storage';

/**
 * A process that writes to a file store, for what cannot be done to the test's own process.
 *  `until-killed DIRECTORY`: has 3 MiB of an object written, says so, and waits.
 *  `until-full DIRECTORY`: fills the file system, gives up, and says as JSON how it went.
 */
async function main(what: string, directory: string): Promise<void> {
  const store = await openBlobStore(`file://${directory}`);
  const chunk = Buffer.alloc(1024 * 1024, 1);
  if (what === 'until-killed') {
    const writer = await store.create('desk/pack');
    for (let index = 0; index < 3; index++) await writer.write(chunk);
    process.stdout.write('written\n');
    setInterval(() => undefined, 60_000);
    return;
  }
  await putBlob(store, 'desk/previous', Buffer.from('whole'));
  const availableBefore = await store.availableBytes();
  const writer = await store.create('desk/pack');
  let code: string | undefined;
  try {
    for (let index = 0; index < 64; index++) await writer.write(chunk);
    await writer.commit();
  } catch (error) {
    code = isDormouseError(error) ? error.code : String(error);
  }
  const availableWhenFull = await store.availableBytes();
  await writer.abort();
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  const previous = (await store.read('desk/previous')).toString();
  const availableAfter = await store.availableBytes();
  process.stdout.write(
    JSON.stringify({ code, keys, previous, availableBefore, availableWhenFull, availableAfter }) + '\n',
  );
}

void main(process.argv[2]!, process.argv[3]!);

import { execFile } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const pieceBytes = 16 * 1024 * 1024;

/** Makes a raw image of this size out of another, filled up with blocks that all differ. */
export async function enlargeImage(image: string, file: string, gib: number): Promise<void> {
  await run('qemu-img', ['convert', '-O', 'raw', image, file]);
  const noise = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  const zeros = Buffer.alloc(pieceBytes);
  const target = await open(file, 'r+');
  try {
    for (let at = (await target.stat()).size; at < gib * 2 ** 30; at += pieceBytes) {
      await target.write(noise.update(zeros), 0, pieceBytes, at);
    }
    await target.sync();
  } finally {
    await target.close();
  }
}

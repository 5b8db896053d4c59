import { dirname } from 'node:path';
import loadBinding from 'node-gyp-build';

/** What @cloudpss/zstd is made of. Its own entry is an ES module, which Jest cannot load. */
interface Binding {
  compress(content: Uint8Array, level: number): Buffer;
  decompress(content: Uint8Array, mostBytes: number): Buffer;
}

const binding = loadBinding(dirname(require.resolve('@cloudpss/zstd/package.json'))) as Binding;

/**
 * Level 1: compressing must keep up with a guest whose memory is read at disk speed.
 *
 * The process has one context for this: **one thread only** may call it. Two at once damage each other's output. Decompressing
 * has a context of its own, and the same rule.
 */
export function compressNow(content: Uint8Array): Buffer {
  return binding.compress(content, 1);
}

/** @throws when it is no zstd frame, or one of more than `mostBytes` */
export function decompressNow(content: Uint8Array, mostBytes: number): Buffer {
  return binding.decompress(content, mostBytes + 1); // it wants less than what it is given
}

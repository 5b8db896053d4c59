/**
 * QEMUs for tests: which ones there are, and how another one than the distribution's is unpacked into the cache. How QEMU
 * is started and talked to is the matter of libs/qemu.
 */
export { qemuBinaries } from './qemu-binaries';
export { defaultQemuCache, ensureQemu } from './unpack-qemu';

/**
 * QEMU's migration stream on the wire: its layout as data, a reader of what a source sends, encoders for what a
 * postcopy source sends, and a reader of what the destination answers. Pure: bytes in, bytes out.
 * Sockets, QMP and storage live elsewhere.
 */
export { pageBytes, type RamBlock } from './layout';
export { MigrationStreamReader, type MigrationStreamHandler } from './stream-reader';
export { ReturnPathReader, type ReturnPathMessage } from './return-path-reader';
export { RamPart } from './ram-part';
export * as encode from './stream-encoder';

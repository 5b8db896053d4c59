import { corrupt, unsupported } from './corruption';
import { formatVersion, wakePackMagic } from './layout';

/** What waking reads first and in one go. */
export interface WakePack {
  /** Content of the migration stream's configuration section: machine name and subsections. */
  readonly configuration: Buffer;
  /** The device sections of the migration stream. */
  readonly deviceState: Buffer;
}

/** magic · u16 version · u16 zero · u32 configuration bytes · u32 device state bytes, then the two. */
const headerBytes = 16;

export function encodeWakePack(pack: WakePack): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.write(wakePackMagic, 0, 'latin1');
  header.writeUInt16LE(formatVersion, 4);
  header.writeUInt32LE(pack.configuration.length, 8);
  header.writeUInt32LE(pack.deviceState.length, 12);
  return Buffer.concat([header, pack.configuration, pack.deviceState]);
}

/** @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED naming `object` */
export function decodeWakePack(encoded: Buffer, object: string): WakePack {
  if (encoded.length < headerBytes || encoded.toString('latin1', 0, 4) !== wakePackMagic) {
    throw corrupt(object, 'it is not a wake pack');
  }
  const version = encoded.readUInt16LE(4);
  if (version !== formatVersion) throw unsupported(object, `wake pack version ${version}`);
  const configurationEnd = headerBytes + encoded.readUInt32LE(8);
  if (configurationEnd + encoded.readUInt32LE(12) !== encoded.length)
    throw corrupt(object, 'its parts have other lengths');
  return {
    configuration: encoded.subarray(headerBytes, configurationEnd),
    deviceState: encoded.subarray(configurationEnd),
  };
}

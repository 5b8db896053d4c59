import fc from 'fast-check';
import { sectionType } from './layout';
import * as sample from './stream-fixture';

const { u32, u8 } = sample;

/** The stream with a tail of the test's own. */
const withTail = (...tail: Buffer[]): Buffer =>
  Buffer.concat([sample.header, sample.ramStart(), sample.section('end'), ...tail]);
const deviceStateOf = (stream: Buffer): string => (sample.read(stream).end as string[])[1]!;

describe('the end of the device state', () => {
  const state = sample.deviceState;
  const { description, endOfStream } = sample;

  test('is found with a description and without one', () => {
    expect(deviceStateOf(withTail(state, endOfStream, description))).toBe(state.toString('hex'));
    expect(deviceStateOf(withTail(state, endOfStream))).toBe(state.toString('hex'));
  });

  test('is found when a machine has no device with a state', () => {
    expect(deviceStateOf(withTail(endOfStream, description))).toBe('');
    expect(deviceStateOf(withTail(endOfStream))).toBe('');
  });

  test('is not where a device holds the bytes of a whole stream’s end', () => {
    const devious = sample.deviceSection(7, 'devious', Buffer.concat([sample.footer(7), endOfStream, description]));
    expect(deviceStateOf(withTail(state, devious, endOfStream, description))).toBe(
      Buffer.concat([state, devious]).toString('hex'),
    );
    expect(deviceStateOf(withTail(state, devious, endOfStream))).toBe(Buffer.concat([state, devious]).toString('hex'));
  });

  test('is not where a device holds a description that would reach exactly to the end of the stream', () => {
    const reaches = (length: number): Buffer =>
      sample.deviceSection(
        7,
        'devious',
        Buffer.concat([sample.footer(7), u8(0), u8(sectionType.description), u32(length), Buffer.from('{')]),
      );
    // The opening brace, the footer of the section and the end of the stream: seven bytes, as the length says.
    const devious = reaches(1 + 5 + 1);
    expect(deviceStateOf(withTail(devious, endOfStream))).toBe(devious.toString('hex'));
  });

  test('any device data survives the cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (data, described) => {
        const device = sample.deviceSection(5, 'any', Buffer.from(data));
        const tail = [device, endOfStream, ...(described ? [description] : [])];
        expect(deviceStateOf(withTail(...tail))).toBe(device.toString('hex'));
      }),
    );
  });
});

import { decodeText } from './decode-text';

test.each<[string, Buffer]>([
  ['UTF-8', Buffer.from('{"a":"ü"}')],
  ['UTF-8 with a byte order mark', Buffer.from('\uFEFF{"a":"ü"}')],
  ['UTF-16, as PowerShell writes it', Buffer.from('\uFEFF{"a":"ü"}', 'utf16le')],
  ['UTF-16 the other way round', Buffer.from('\uFEFF{"a":"ü"}', 'utf16le').swap16()],
])('a file in %s is read', (_, bytes) => expect(JSON.parse(decodeText(bytes))).toEqual({ a: 'ü' }));

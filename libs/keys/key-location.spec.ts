import { isDormouseError } from '@dormouse/errors';
import { parseKeyUrl } from './key-location';

test.each([
  ['file:///srv/dormouse/master.json', { kind: 'file', path: '/srv/dormouse/master.json' }],
  ['file:///srv/with%20space.json', { kind: 'file', path: '/srv/with space.json' }],
  [
    'vault+https://vault.example:8200/transit/dormouse',
    { kind: 'vault', origin: 'https://vault.example:8200', mount: 'transit', keyName: 'dormouse' },
  ],
  [
    'vault+http://127.0.0.1/team/transit/dormouse-2',
    { kind: 'vault', origin: 'http://127.0.0.1', mount: 'team/transit', keyName: 'dormouse-2' },
  ],
])('%s is read', (text, location) => {
  expect(parseKeyUrl(text)).toEqual(location);
});

test.each([
  'master.json',
  'https://vault/transit/dormouse',
  'file://host/path',
  'file:///a%2Fb',
  'vault+https://vault/dormouse',
  'vault+https://vault/transit/',
  'vault+https://vault//dormouse',
  'vault+https:///transit/dormouse',
  'vault+https://vault/transit/../dormouse',
  'vault+https://vault/transit/dor%2Fmouse',
  'vault+https://hunter2@vault/transit/dormouse',
  'vault+https://vault/transit/dormouse?token=hunter2',
  'vault+https://vault/transit/dormouse#hunter2',
])('%s is refused, and not repeated', (text) => {
  let refusal: unknown;
  try {
    parseKeyUrl(text);
  } catch (error) {
    refusal = error;
  }
  expect(isDormouseError(refusal, 'CONFIG_INVALID')).toBe(true);
  expect((refusal as Error).message).toMatch(/^KEY_URL cannot be used/);
  expect((refusal as Error).message).not.toContain('hunter2');
});

import { areLookAlikes, brokerName } from './broker-names';

test('spaces around a name, and how its letters are composed, make no other broker', () => {
  expect(brokerName(' broker-a\t')).toBe('broker-a');
  expect(brokerName('bu\u0308ro')).toBe(brokerName('büro'));
  expect(brokerName('Broker-A')).not.toBe(brokerName('broker-a'));
});

test.each([
  'broker-a ',
  'Broker-A',
  'broker\u200b-a',
  'broker -a',
  'ｂｒｏｋｅｒ-ａ',
  'broker\ufeff-a',
  'broker\u00ad-a',
])('%j can be taken for broker-a', (name) => expect(areLookAlikes(name, 'broker-a')).toBe(true));

test.each(['broker-b', 'broker-a1', 'broker', ''])('%j cannot', (name) =>
  expect(areLookAlikes(name, 'broker-a')).toBe(false),
);

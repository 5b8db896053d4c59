import { layerToWrite } from './layer-to-write';

test('the first boot writes to a new layer on the golden images', () => {
  expect(layerToWrite('op', null)).toEqual({ generation: 'op', on: null, isNew: true });
});

test('an open layer is written to again', () => {
  expect(layerToWrite('op', { generation: 'g1', sealed: false })).toMatchObject({ generation: 'g1', isNew: false });
});

test('a sealed layer is never written to: what goes on from it writes to a new one on top', () => {
  expect(layerToWrite('op', { generation: 'g1', sealed: true })).toEqual({ generation: 'op', on: 'g1', isNew: true });
});

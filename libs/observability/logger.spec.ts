import { DormouseError } from '@dormouse/errors';
import { createLogger, logAbout } from './logger';

function capture(logFormat: 'json' | 'pretty') {
  const lines: string[] = [];
  return { lines, logger: createLogger('api', { logLevel: 'info', logFormat }, { write: (line) => lines.push(line) }) };
}

test('every line of an operation carries its id and its desktop', () => {
  const { lines, logger } = capture('json');
  logAbout(logger, { operationId: 'op-1', desktopId: 'desk-1' }).info('capture began');
  expect(JSON.parse(lines[0]!)).toMatchObject({
    level: 'info',
    service: 'api',
    operationId: 'op-1',
    desktopId: 'desk-1',
    msg: 'capture began',
  });
});

test('an error is logged with its code', () => {
  const { lines, logger } = capture('json');
  logger.error({ err: new DormouseError('STORAGE_FULL', 'no room') }, 'the save failed');
  expect(JSON.parse(lines[0]!)).toMatchObject({ err: { code: 'STORAGE_FULL', message: 'no room' } });
});

test('a bearer key never reaches the log', () => {
  const { lines, logger } = capture('json');
  logger.info({ req: { headers: { authorization: 'Bearer dm_very-secret' } } }, 'request');
  expect(lines[0]).not.toContain('very-secret');
});

test('pretty lines name the service and the message and are no JSON', () => {
  const { lines, logger } = capture('pretty');
  logger.info('listening');
  expect(lines.join('')).toMatch(/api: listening/);
  expect(lines.join('')).not.toMatch(/^\{/);
});

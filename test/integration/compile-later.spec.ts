import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The engine counts what runs, so the same calls have it optimize, or not, each time. */
const calls = 50_000;
const nowOrNever = ['--allow-natives-syntax', '--no-concurrent-recompilation'];
const optimized = 1 << 4; // of what V8's %GetOptimizationStatus says

const program = `
  const { compileLater } = require(process.argv[1]);
  let made = 0;
  const becomesHot = () => {
    const add = new Function('a', 'b', 'return a + b + ' + made++);
    for (let n = 0; n < ${calls}; n++) add(n, 1);
    return (%GetOptimizationStatus(add) & ${optimized}) !== 0;
  };
  %NeverOptimizeFunction(becomesHot);
  const before = becomesHot();
  const end = compileLater();
  const meanwhile = becomesHot();
  end();
  console.log(JSON.stringify({ before, meanwhile, after: becomesHot() }));
`;

test('what becomes hot while a guest wakes is optimized later than what did before, or does after', async () => {
  const file = join(process.cwd(), 'dist', 'apps', 'pager', 'serve', 'compile-later.js');
  const { stdout } = await promisify(execFile)(process.execPath, [...nowOrNever, '-e', program, file]);
  expect(JSON.parse(stdout)).toEqual({ before: true, meanwhile: false, after: true });
});

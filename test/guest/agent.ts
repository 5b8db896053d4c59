import { once } from 'node:events';
import { connect } from 'node:net';
import { basename, dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { unixSocketPath } from '@dormouse/process';

/** One question to the guest's agent: its answer as it comes. Nobody else may be connected. */
export async function askAgent(socketPath: string, execute: string, args: object = {}): Promise<unknown> {
  const socket = connect(unixSocketPath(dirname(socketPath), basename(socketPath)));
  try {
    socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    const [line] = (await once(createInterface({ input: socket }), 'line')) as [string];
    return JSON.parse(line);
  } finally {
    socket.destroy();
  }
}

/**
 * Runs a shell script in the guest, as root.
 * @returns what it wrote
 * @throws REQUEST_INVALID with what it wrote when it fails
 */
export async function runInGuest(socketPath: string, script: string): Promise<string> {
  const command = { path: '/bin/sh', arg: ['-c', `{ ${script}; } 2>&1`], 'capture-output': true };
  const { return: started } = (await askAgent(socketPath, 'guest-exec', command)) as { return: { pid: number } };
  for (;;) {
    const { return: status } = (await askAgent(socketPath, 'guest-exec-status', started)) as { return: ExecStatus };
    if (status.exited) {
      const output = Buffer.from(status['out-data'] ?? '', 'base64')
        .toString()
        .trim();
      if (status.exitcode === 0) return output;
      throw new DormouseError('REQUEST_INVALID', `"${script}" ended with ${status.exitcode} in the guest: ${output}`);
    }
    await sleep(20);
  }
}

interface ExecStatus {
  readonly exited: boolean;
  readonly exitcode?: number;
  readonly 'out-data'?: string;
}

import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { DormouseError } from '@dormouse/errors';
import { Lines } from './lines';
import { plainEnvironment } from './plain-environment';
import { identifyProcess, type ProcessIdentity } from './process-identity';
import { asUser, type ProcessUser } from './process-user';

export interface DetachedCommand {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** Standard output and error are appended here. */
  readonly logFile: string;
  /**
   * Its identity is written here before the program begins: however we end, whoever comes after us finds it. What cannot be written
   * down does not begin.
   */
  readonly recordFile?: string;
  /** Named pipes that it is to find in `cwd`. */
  readonly pipes?: readonly string[];
  /** Ours when left out. Of another one's files and sockets its group may use all; its pipes, everybody who comes into `cwd`. */
  readonly user?: ProcessUser | undefined;
}

const longestAnswer = 1024;

/**
 * Starts processes that outlive this one: each has a session of its own and no pipe to us.
 *
 * They are started by a small shell that waits for what to start. A fork copies the page tables of whoever forks; of a process of
 * some hundred MiB that takes 10 to 20 ms, in which it does nothing else. The shell ends with us, when its input closes.
 */
export class ProgramStarter {
  private shell: ChildProcess | null = null;
  private started = 0;
  private readonly waiting = new Map<number, (answer: string | null) => void>();

  /** @param more variables of all that is started, besides `plainEnvironment` */
  constructor(private readonly more: Readonly<Record<string, string>> = {}) {}

  /** Makes ready for `start`. */
  prepare(): void {
    if (this.shell === null) this.shell = this.startShell();
  }

  /**
   * Resolves when the process is there; what becomes of it, its log and its identity tell.
   * @throws DEPENDENCY_MISSING when there is no such program
   */
  async start(command: DetachedCommand): Promise<ProcessIdentity> {
    this.prepare();
    const number = ++this.started;
    const answer = await this.ask(number, command);
    const pid = Number(answer);
    if (pid > 0) return identifyProcess(pid) ?? { pid, startTicks: -1 }; // ended already: an identity no process will ever have
    const why = answer === null ? 'the shell that starts programs has ended' : 'there is no such program';
    throw new DormouseError('DEPENDENCY_MISSING', `cannot start ${command.program}: ${why}`);
  }

  close(): void {
    this.shell?.stdin!.end();
    this.shell = null;
  }

  private async ask(number: number, command: DetachedCommand): Promise<string | null> {
    const { stdin, stdout } = this.shell!;
    const answers = stdout as unknown as Socket; // a process that waits for nothing but an answer does not end
    answers.ref();
    try {
      return await new Promise((resolve) => {
        this.waiting.set(number, resolve);
        stdin!.write(script(number, command));
      });
    } finally {
      if (this.waiting.size === 0) answers.unref();
    }
  }

  private startShell(): ChildProcess {
    // In a group of its own: what ends us from a terminal is not to end it while we still have something to start.
    const shell = spawn('/bin/sh', [], {
      env: { ...plainEnvironment(), ...this.more },
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
    });
    const lines = new Lines(longestAnswer);
    shell.stdout.setEncoding('utf8');
    shell.stdout.on('data', (text: string) => {
      for (const line of lines.push(text) ?? []) this.hear(line);
    });
    shell.stdin.on('error', () => undefined); // it has ended: 'close' follows
    shell.on('error', () => undefined); // likewise
    shell.once('close', () => this.lost(shell));
    shell.unref();
    for (const pipe of [shell.stdin, shell.stdout]) (pipe as unknown as Socket).unref();
    return shell;
  }

  private hear(line: string): void {
    const [number, answer] = line.split(' ') as [string, string];
    this.waiting.get(Number(number))?.(answer);
    this.waiting.delete(Number(number));
  }

  private lost(shell: ChildProcess): void {
    if (this.shell !== shell) return; // closed, and all was answered by then
    this.shell = null;
    for (const answer of this.waiting.values()) answer(null);
    this.waiting.clear();
  }
}

/** In the language of sh(1). Answers with a line: the number, and the process id or `missing`. */
function script(
  number: number,
  { program, args, cwd, logFile, recordFile, pipes = [], user }: DetachedCommand,
): string {
  const command = [...(user === undefined ? [] : asUser(user)), program, ...args];
  const [pipeMode, umask] = user === undefined ? ['600', '077'] : ['666', '007'];
  const steps = [
    `exec >> ${quoted(logFile)} 2>&1`,
    `cd ${quoted(cwd)}`,
    ...(pipes.length > 0 ? [`mkfifo -m ${pipeMode} ${pipes.map(quoted).join(' ')}`] : []),
    ...(recordFile === undefined ? [] : record(recordFile)),
    `umask ${umask}`,
    // Not the leader of a group, the shell's child becomes the program without another fork, and so keeps its id.
    `exec setsid ${command.map(quoted).join(' ')}`,
  ];
  return [
    'jobs > /dev/null', // takes note of those that have ended, which would be zombies else
    `if command -v ${quoted(program)} > /dev/null; then`,
    `  (umask 077 && ${steps.join(' && ')}) < /dev/null &`,
    `  echo ${number} $!`,
    `else echo ${number} missing; fi\n`,
  ].join('\n');
}

/** Fields 1 and 22 of proc(5) `/proc/self/stat`: both stay what they are when the shell becomes the program. */
function record(file: string): string[] {
  const identity = `printf '{"pid":%s,"startTicks":%s}' "$1" "${'${22}'}"`;
  return ['read -r stat < /proc/self/stat', 'set -- $stat', `${identity} > ${quoted(file)}`];
}

function quoted(word: string): string {
  return `'${word.replaceAll(`'`, `'\\''`)}'`;
}

import { Command } from 'commander';
import type { CommandContext, ProgramContext } from './command-context';

interface Group {
  readonly name: string;
  readonly alias?: string;
  readonly description: string;
  /** Brings the module of its commands: of a command line with a hundred commands only what one of them needs is loaded. */
  readonly load: () => (group: Command, context: CommandContext) => void;
}

/* eslint-disable @typescript-eslint/no-require-imports */
const groups: readonly Group[] = [
  {
    name: 'desktop',
    description: 'desktops: list, register, put to sleep, wake',
    load: () => (require('./desktops') as typeof import('./desktops')).addDesktops,
  },
  {
    name: 'operation',
    description: 'what is being done, and what came of it',
    load: () => (require('./operations') as typeof import('./operations')).addOperations,
  },
  {
    name: 'pool',
    description: 'pools and their policies',
    load: () => (require('./pools') as typeof import('./pools')).addPools,
  },
  {
    name: 'checkpoint',
    description: 'what is stored of a desktop: what is kept, look into it, check it, take it elsewhere',
    load: () => (require('./checkpoints') as typeof import('./checkpoints')).addCheckpoints,
  },
  {
    name: 'host',
    description: 'hosts and their workers',
    load: () => (require('./hosts') as typeof import('./hosts')).addHosts,
  },
  {
    name: 'broker',
    description: 'brokers that send heartbeats, and such as are gone',
    load: () => (require('./brokers') as typeof import('./brokers')).addBrokers,
  },
  {
    name: 'audit',
    description: 'who changed or tried to change what, why, and what came of it; newest first, times in UTC',
    load: () => (require('./audit') as typeof import('./audit')).addAudit,
  },
  {
    name: 'keys',
    description:
      'the keys of the api (create, list, revoke), and those that checkpoints are encrypted with (data, rotate)',
    load: () => (require('./keys') as typeof import('./keys')).addKeys,
  },
  {
    name: 'events',
    alias: 'event',
    description: 'speak as a broker does, for trying things out',
    load: () => (require('./events') as typeof import('./events')).addEvents,
  },
];
/* eslint-enable @typescript-eslint/no-require-imports */

/** The whole command line. Errors of the api are thrown by `parseAsync`, which can be called once. */
export function buildProgram(context: ProgramContext): Command {
  const program = new Command('dormouse')
    .description('Puts virtual desktops to sleep when their users leave and wakes them when they return')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nFinds the api by the data directory (DATA_DIR), or by DORMOUSE_URL and DORMOUSE_KEY.');
  for (const { name, alias, description } of groups) {
    const group = program.command(name).description(description);
    if (alias !== undefined) group.alias(alias);
  }
  // The library's own `help` shows a group without asking this hook for its commands.
  program
    .helpCommand(false)
    .command('help [command...]')
    .description('display help for command')
    .action(async (names: string[]) => {
      await program.parseAsync([...names, '--help'], { from: 'user' });
    });
  return program.hook('preSubcommand', (_, chosen) => {
    const group = groups.find(({ name }) => name === chosen.name());
    group?.load()(chosen, commandContext(program, context));
  });
}

function commandContext(program: Command, context: ProgramContext): CommandContext {
  const inJson = (): boolean => program.opts<{ json?: boolean }>().json === true;
  const show: CommandContext['show'] = ({ value, text }) => context.print(inJson() ? JSON.stringify(value) : text);
  return { ...context, inJson, show, answer: async (work) => show(await work(await context.openAccess())) };
}

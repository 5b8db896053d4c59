import type { DormouseConfig } from '@dormouse/config';
import type { Access } from './access';

/** What the process around the commands brings. */
export interface ProgramContext {
  readonly openAccess: () => Promise<Access>;
  readonly loadConfig: () => DormouseConfig;
  readonly print: (text: string) => void;
  readonly now: () => Date;
}

export interface Answer {
  /** What `--json` prints. */
  readonly value: unknown;
  /** What a person reads. */
  readonly text: string;
}

/** What commands are made with. */
export interface CommandContext extends ProgramContext {
  readonly inJson: () => boolean;
  readonly show: (answer: Answer) => void;
  /** Asks the api, and shows what came of it. */
  readonly answer: (work: (access: Access) => Promise<Answer>) => Promise<void>;
}

/** What `--reason` is when nobody gives one. */
export const usualReason = 'asked for on the command line';

import { spawnSync } from 'node:child_process';
import { readdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { findProgram, isExecutable } from './find-program';

export interface PostgresPrograms {
  readonly postgres: string;
  readonly initdb: string;
  readonly major: string;
}

/** Debian keeps each version's programs here, off the PATH. */
const debianDirectory = '/usr/lib/postgresql';

/**
 * The Postgres on the PATH, else the newest that Debian has installed. With `major` only that version will do: the
 * files of a cluster are good for the major version that made them.
 * @throws DEPENDENCY_MISSING
 */
export function findPostgres(major?: string): PostgresPrograms {
  for (const directory of candidates()) {
    const programs = { postgres: join(directory, 'postgres'), initdb: join(directory, 'initdb') };
    if (!isExecutable(programs.postgres) || !isExecutable(programs.initdb)) continue;
    const found = majorOf(programs.postgres);
    if (major === undefined || found === major) return { ...programs, major: found };
  }
  if (major === undefined) {
    const message = 'Postgres is not installed: install the package postgresql, or set DATABASE_URL to use your own';
    throw new DormouseError('DEPENDENCY_MISSING', message, { package: 'postgresql' });
  }
  const name = `postgresql-${major}`;
  const message = `the data directory was made by Postgres ${major}, which is not installed any more: install ${name}`;
  throw new DormouseError('DEPENDENCY_MISSING', message, { package: name });
}

function candidates(): string[] {
  const onPath = findProgram('postgres');
  return [...(onPath === null ? [] : [dirname(realpathSync(onPath))]), ...debianVersions()];
}

function debianVersions(): string[] {
  let versions: string[];
  try {
    versions = readdirSync(debianDirectory);
  } catch {
    return []; // none installed that way
  }
  return versions.sort((a, b) => Number(b) - Number(a)).map((version) => join(debianDirectory, version, 'bin'));
}

/** `postgres (PostgreSQL) 15.18 (Debian …)` */
function majorOf(program: string): string {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return /PostgreSQL\) (\d+)/.exec(stdout)?.[1] ?? 'unknown';
}

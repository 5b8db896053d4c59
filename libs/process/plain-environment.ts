/** What a program needs of our environment to run at all: where programs, libraries, its modules and the time zone are. */
const plain = ['PATH', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'LD_LIBRARY_PATH', 'QEMU_MODULE_DIR'] as const;

/**
 * The environment of a program that is started from here. Ours holds secrets: the database's password, keys and tokens. Whoever takes
 * over a program by its input would find them in its memory, so each is given what it needs and nothing else.
 * @param more further variables of ours to hand on, by name
 */
export function plainEnvironment(more: readonly string[] = [], environment = process.env): NodeJS.ProcessEnv {
  return Object.fromEntries(
    [...plain, ...more].flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
}

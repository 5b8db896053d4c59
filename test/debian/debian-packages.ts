import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { runProgram } from './run-program';

/** Only what a package cannot do without; `Recommends` would bring a bootloader with the kernel. */
const hardDependencies = [
  '--no-recommends',
  '--no-suggests',
  '--no-conflicts',
  '--no-breaks',
  '--no-replaces',
  '--no-enhances',
];

/**
 * The distribution's packages, read without installing any and without root: apt resolves and downloads, dpkg unpacks.
 * Where the machine's package lists are missing (container images come without) or too old to download from, fresh lists
 * are fetched into a directory of our own; the machine's are never touched.
 */
export class DebianPackages {
  private options: string[] = [
    // Started by root, apt downloads as the user _apt, who may not write into our directories.
    ...['-o', 'APT::Sandbox::User=root'],
  ];
  private hasOwnLists = false;

  constructor(private readonly workDirectory: string) {}

  /**
   * The packages of another suite than the machine's own, such as `bookworm-backports`, from the same mirror.
   * @throws DEPENDENCY_MISSING when its lists cannot be fetched
   */
  static async ofSuite(workDirectory: string, suite: string): Promise<DebianPackages> {
    const packages = new DebianPackages(workDirectory);
    const list = join(workDirectory, 'sources.list');
    await writeFile(list, `deb ${await mirror()} ${suite} main\n`);
    packages.options.push(
      ...['-o', `Dir::Etc::SourceList=${list}`, '-o', 'Dir::Etc::SourceParts=-'],
      // Backports are taken on demand only; and apt would call it a success that no list could be fetched.
      ...['-o', `APT::Default-Release=${suite}`, '-o', 'APT::Update::Error-Mode=any'],
    );
    await packages.fetchOwnLists();
    return packages;
  }

  /** Downloads and unpacks into `target` the packages below `root` that `wanted` picks; answers their file names. */
  async unpack(root: string, wanted: (name: string) => boolean, target: string): Promise<string[]> {
    try {
      return await this.downloadAndUnpack(root, wanted, target);
    } catch (error) {
      if (this.hasOwnLists) throw error;
      await this.fetchOwnLists();
      return await this.downloadAndUnpack(root, wanted, target);
    }
  }

  /** The first of these packages that the distribution has. @throws DEPENDENCY_MISSING when it has none. */
  async firstAvailable(candidates: readonly string[]): Promise<string> {
    for (const name of candidates) {
      if ((await this.dependencies(name)).includes(name)) return name;
    }
    if (!this.hasOwnLists) {
      await this.fetchOwnLists();
      return await this.firstAvailable(candidates);
    }
    throw new DormouseError('DEPENDENCY_MISSING', `apt knows none of the packages ${candidates.join(', ')}`);
  }

  private async downloadAndUnpack(root: string, wanted: (name: string) => boolean, target: string): Promise<string[]> {
    const names = (await this.dependencies(root)).filter((name) => name === root || wanted(name));
    const downloads = join(this.workDirectory, `download-${root}`);
    await mkdir(downloads, { recursive: true });
    await runProgram('apt-get', ['download', '-qq', ...this.options, ...names], { cwd: downloads });
    await mkdir(target, { recursive: true });
    const files = await readdir(downloads);
    for (const file of files) await runProgram('dpkg-deb', ['-x', join(downloads, file), target]);
    return files;
  }

  /** The package and everything below it; empty when apt does not know it. */
  private async dependencies(root: string): Promise<string[]> {
    const listing = await runProgram('apt-cache', [
      'depends',
      '--recurse',
      ...hardDependencies,
      ...this.options,
      root,
    ]).catch((error: unknown) => {
      if (/No packages found|Unable to locate/.test(String(error))) return Buffer.of();
      throw error;
    });
    // Names stand at the line's beginning, their relations are indented, virtual packages are in <>.
    return listing
      .toString()
      .split('\n')
      .filter((line) => /^[a-z0-9][a-z0-9.+-]+$/.test(line));
  }

  private async fetchOwnLists(): Promise<void> {
    const state = join(this.workDirectory, 'apt');
    await mkdir(join(state, 'lists', 'partial'), { recursive: true });
    await mkdir(join(state, 'cache', 'archives', 'partial'), { recursive: true });
    this.options = [
      ...this.options,
      ...['-o', `Dir::State::Lists=${join(state, 'lists')}`],
      ...['-o', `Dir::Cache=${join(state, 'cache')}`],
    ];
    this.hasOwnLists = true;
    await runProgram('apt-get', ['update', '-qq', ...this.options]);
  }
}

/** Where the machine gets its own packages from. */
async function mirror(): Promise<string> {
  const targets = ['--format', '$(REPO_URI)', 'Created-By: Packages', 'Component: main', 'Origin: Debian'];
  const [first] = (await runProgram('apt-get', ['indextargets', ...targets])).toString().split('\n');
  return first || 'http://deb.debian.org/debian';
}

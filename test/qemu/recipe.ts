/** QEMUs beside the distribution's: of which Debian release and suite, as which packages. */
export const qemuRecipes = {
  '10': {
    /** They are linked against the libraries of this release. */
    release: 'bookworm',
    suite: 'bookworm-backports',
    packages: ['qemu-system-x86', 'qemu-system-common', 'qemu-system-data', 'seabios'],
  },
} as const;

export type QemuVersion = keyof typeof qemuRecipes;

export function isQemuVersion(text: string): text is QemuVersion {
  return text in qemuRecipes;
}

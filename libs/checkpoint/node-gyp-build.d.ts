/** Loads the binary that fits this machine from a package's folder. It comes without types. */
declare module 'node-gyp-build' {
  const load: (packageFolder: string) => unknown;
  export = load;
}

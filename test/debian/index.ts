/**
 * The distribution's packages as material for tests: fetched and unpacked below a cache of our own, never installed.
 * What is made of them, guests and other QEMUs, is the matter of the folders beside.
 */
export { buildOnce } from './build-once';
export { DebianPackages } from './debian-packages';
export { runProgram } from './run-program';

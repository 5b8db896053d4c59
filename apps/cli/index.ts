/**
 * The `dormouse` command: the admin API for people and scripts.
 * Does not live here: the calls themselves (libs/api-client) and any decision about desktops.
 */
export { buildProgram } from './program';

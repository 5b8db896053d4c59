/**
 * `npm start`: api and worker in one process group, with a Postgres and a Redis of their own where none are given.
 * Does not live here: anything about desktops but putting them to sleep before everything stops.
 */
export { launch, type Launched } from './launch';

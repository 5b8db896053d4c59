/**
 * What content stands in which block of a golden image: built once for an image, kept beside the disks, loaded by saves.
 * A cache: without it a save stores more, and nothing else changes. Layout: `docs/content-index.md`.
 */
export { buildContentIndex, type BuildProgress } from './build-content-index';
export { ContentIndex, contentIndexFile, moveContentIndexes } from './content-index';

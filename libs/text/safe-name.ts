import { isDesktopId } from './identifiers';

/**
 * The name of a desktop's directories, sockets and objects. Ids of lower-case letters, digits and hyphens stay as they are. No two ids
 * share a name, not even where capitals do not count, and none begins with or holds a dot: names of ours, which begin with one, stay
 * as they are and are no desktop's.
 */
export function safeName(desktopId: string): string {
  if (!isDesktopId(desktopId)) return desktopId;
  return desktopId.replace(/[A-Z]/g, (letter) => `~${letter.toLowerCase()}`).replaceAll('.', '~0');
}

/** Whose name it is; null when it is no desktop's. */
export function desktopOfSafeName(name: string): string | null {
  const id = name.replaceAll('~0', '.').replace(/~([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return isDesktopId(id) && safeName(id) === name ? id : null;
}

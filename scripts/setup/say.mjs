/** The set-up's voice: standard error, since the output of the command it prepares belongs to that command. */
export function say(line) {
  process.stderr.write(`set-up: ${line}\n`);
}

export function fail(line) {
  say(line);
  process.exit(1);
}

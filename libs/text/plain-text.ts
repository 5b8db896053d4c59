/** What goes into the database, into log lines and onto terminals: no control characters, no halves of characters. */
export function isPlainText(text: string, longest: number): boolean {
  return text !== '' && text.length <= longest && !/[\p{Cc}\p{Cs}]/u.test(text);
}

/** Words of commands in hints, as a shell reads them. Sans-I/O. */

export const shellWord = (text: string): string =>
  /^[A-Za-z0-9_./:=@,+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

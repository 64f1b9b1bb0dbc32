/**
 * Package managers run scripts in the package's directory and name the user's own in INIT_CWD. Paths on a command line
 * are meant from where the user stands.
 */
export function standWhereTheUserStands(): void {
  const { INIT_CWD: userDirectory, npm_lifecycle_event: script } = process.env;
  if (userDirectory && (script === 'client' || script === 'tracker')) process.chdir(userDirectory);
}

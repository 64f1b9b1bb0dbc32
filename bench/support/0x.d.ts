/** What is used here of 0x, which brings no types: https://github.com/davidmarkclements/0x/blob/master/docs/api.md */
declare module '0x' {
  /** Draws a V8 CPU profile as a page beside it; resolves to the page's URL. */
  export default function zeroEks(options: {
    readonly visualizeCpuProfile: string;
    readonly workingDir: string;
    readonly name: string;
    readonly title: string;
  }): Promise<string>;
}

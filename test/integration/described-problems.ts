interface Described {
  readonly paths: Readonly<
    Record<
      string,
      Readonly<Record<string, { readonly responses: Readonly<Record<string, { readonly description: string }>> }>>
    >
  >;
}

/** Holds the problems that an api answers with against its description: each code stands under its status. */
export class DescribedProblems {
  private document: Promise<Described> | null = null;

  constructor(private readonly url: string) {}

  /** @throws when the description of the route does not say that it can be refused so */
  async check(method: string, path: string, response: Response): Promise<void> {
    this.document ??= fetch(`${this.url}/openapi.json`).then((answer) => answer.json() as Promise<Described>);
    const { paths } = await this.document;
    const pathname = path.replace(/\?.*/s, '');
    const route = Object.entries(paths).find(
      ([template, methods]) => method.toLowerCase() in methods && patternOf(template).test(pathname),
    );
    if (route === undefined) return; // there is no such route
    const { code } = JSON.parse(await response.text()) as { code: string };
    const about = route[1][method.toLowerCase()]!.responses[String(response.status)]?.description ?? '';
    if (about.includes(`\`${code}\``)) return;
    throw new Error(
      `${method} ${route[0]} was refused with ${response.status} ${code}, which its description does not say`,
    );
  }
}

/** Of the addresses of a route, by the template that the description has for it. */
export function patternOf(template: string): RegExp {
  return new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`);
}

/** Completion for shells, made of the table of commands: names, options, and their choices; files for the rest. */
import type { Command } from './command.ts';
import { optionsOf } from './parse-arguments.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export function completionScript(shell: Shell, commands: readonly Command[]): string {
  return { bash, zsh, fish }[shell](commands);
}

/** First words, and the second words of each of those that have any. */
function wordsOf(commands: readonly Command[]): ReadonlyMap<string, readonly string[]> {
  const words = new Map<string, string[]>();
  for (const { name } of commands) {
    const [first = '', second] = name.split(' ');
    const seconds = words.get(first) ?? [];
    if (second !== undefined) seconds.push(second);
    words.set(first, seconds);
  }
  return words;
}

const optionNames = (command: Command): string =>
  Object.keys(optionsOf(command))
    .map((name) => `--${name}`)
    .join(' ');

/** Options with choices, the same in every command that has them. */
function choicesOf(commands: readonly Command[]): ReadonlyMap<string, string> {
  const choices = new Map<string, string>();
  for (const command of commands) {
    for (const [name, spec] of Object.entries(optionsOf(command))) {
      if (spec.choices !== undefined) choices.set(`--${name}`, spec.choices.join(' '));
    }
  }
  return choices;
}

function bash(commands: readonly Command[]): string {
  const words = wordsOf(commands);
  const groups = [...words].filter(([, seconds]) => seconds.length > 0);
  return `# alluvium: completion for bash
_alluvium() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" command="\${COMP_WORDS[1]}"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${[...words.keys(), 'help'].join(' ')} --help --version" -- "$word"))
    return
  fi
  case "$command" in
${groups.map(([first]) => `    ${first}) command="$command \${COMP_WORDS[2]}" ;;`).join('\n')}
  esac
  if [ "$COMP_CWORD" -eq 2 ]; then
    case "\${COMP_WORDS[1]}" in
${groups.map(([first, seconds]) => `      ${first}) COMPREPLY=($(compgen -W "${seconds.join(' ')}" -- "$word")); return ;;`).join('\n')}
      completion) COMPREPLY=($(compgen -W "${SHELLS.join(' ')}" -- "$word")); return ;;
    esac
  fi
  case "$before" in
${[...choicesOf(commands)].map(([name, list]) => `    ${name}) COMPREPLY=($(compgen -W "${list}" -- "$word")); return ;;`).join('\n')}
  esac
  case "$word" in
    -*)
      case "$command" in
${commands.map((command) => `        "${command.name}") COMPREPLY=($(compgen -W "${optionNames(command)}" -- "$word")) ;;`).join('\n')}
      esac
      ;;
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _alluvium alluvium
`;
}

/** For zsh and fish a single quote ends the text. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function zsh(commands: readonly Command[]): string {
  const words = wordsOf(commands);
  const summaryOf = (first: string): string =>
    commands.find(({ name }) => name === first)?.summary ?? (words.get(first) ?? []).join(', ');
  const describe = ([first]: readonly [string, readonly string[]]): string => quoted(`${first}:${summaryOf(first)}`);
  const optionSpecs = (command: Command): string =>
    Object.entries(optionsOf(command))
      .map(([name, spec]) => {
        const help = spec.help.replaceAll(/[[\]:]/g, ' ');
        const value =
          spec.kind === 'flag'
            ? ''
            : `:${spec.placeholder ?? name}:${spec.choices === undefined ? '' : `(${spec.choices.join(' ')})`}`;
        return quoted(`--${name}[${help}]${value}`);
      })
      .join(' ');
  return `#compdef alluvium
# alluvium: completion for zsh
_alluvium() {
  local -a names
  names=(${[...words].map(describe).join(' ')})
  if (( CURRENT == 2 )); then _describe command names; return; fi
  local command="\${words[2]}"
  case "$command" in
${[...words]
  .filter(([, seconds]) => seconds.length > 0)
  .map(
    ([first, seconds]) =>
      `    ${first}) if (( CURRENT == 3 )); then compadd ${seconds.join(' ')}; return; fi; command="$command \${words[3]}" ;;`,
  )
  .join('\n')}
    completion) compadd ${SHELLS.join(' ')}; return ;;
  esac
  case "$command" in
${commands.map((command) => `    ${quoted(command.name)}) _arguments ${optionSpecs(command)} '*:file:_files' ;;`).join('\n')}
  esac
}
compdef _alluvium alluvium
`;
}

function fish(commands: readonly Command[]): string {
  const lines = ['# alluvium: completion for fish', 'complete -c alluvium -n __fish_use_subcommand -f'];
  const words = wordsOf(commands);
  for (const [first, seconds] of words) {
    const summary = commands.find(({ name }) => name === first)?.summary ?? seconds.join(', ');
    lines.push(`complete -c alluvium -n __fish_use_subcommand -a ${first} -d ${quoted(summary)}`);
    if (seconds.length > 0) {
      const isAlone = `__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${seconds.join(' ')}`;
      lines.push(`complete -c alluvium -n ${quoted(isAlone)} -f -a ${quoted(seconds.join(' '))}`);
    }
  }
  lines.push(`complete -c alluvium -n '__fish_seen_subcommand_from completion' -f -a ${quoted(SHELLS.join(' '))}`);
  for (const command of commands) {
    const condition = command.name
      .split(' ')
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join('; and ');
    for (const [name, spec] of Object.entries(optionsOf(command))) {
      const value =
        spec.kind === 'flag' ? '' : spec.choices === undefined ? ' -r' : ` -x -a ${quoted(spec.choices.join(' '))}`;
      lines.push(`complete -c alluvium -n ${quoted(condition)} -l ${name}${value} -d ${quoted(spec.help)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

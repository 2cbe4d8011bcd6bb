import type { Command } from '../command.ts';
import { completionScript, SHELLS } from '../completion-script.ts';
import { EXIT } from '../exit-code.ts';
import { UsageError } from '../failure.ts';
import { suggestionFor } from '../suggest.ts';

/** @param commandsOf - the table that this command is in itself */
export const completion = (commandsOf: () => readonly Command[]): Command => ({
  name: 'completion',
  summary: 'Print the completion for a shell',
  positionals: [{ name: 'shell' }],
  options: {},
  details: [`The shells are ${SHELLS.join(', ')}.`],
  examples: [
    'completion bash >> ~/.bashrc',
    'completion zsh > ~/.zsh/completions/_alluvium',
    'completion fish > ~/.config/fish/completions/alluvium.fish',
  ],
  standsAlone: true,
  async run({ positionals, out }) {
    const given = positionals[0] ?? '';
    const shell = SHELLS.find((known) => known === given);
    if (shell === undefined) {
      const suggestion = suggestionFor(given, SHELLS);
      throw new UsageError(`completion is for ${SHELLS.join(', ')}, not ${JSON.stringify(given)}.${suggestion}`);
    }
    await out.text(completionScript(shell, commandsOf()));
    return EXIT.done;
  },
});

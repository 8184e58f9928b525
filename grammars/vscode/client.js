// Starts `pathdsl lsp` and connects it to the editor; all else is the server's.
const { workspace, window } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function activate(context) {
  const [command, ...args] = workspace.getConfiguration("circuit").get("command");
  const server = { command, args };
  client = new LanguageClient(
    "circuit",
    "Circuit",
    { run: server, debug: server },
    { documentSelector: [{ language: "circuit" }] },
  );
  context.subscriptions.push(client);
  try {
    await client.start();
  } catch (error) {
    window.showErrorMessage(
      `\`${[command, ...args].join(" ")}\` does not start: ${error.message}. ` +
        "Install it with `pip install 'pathdsl[editor]'`, or name it in the setting circuit.command.",
    );
  }
}

function deactivate() {
  return client ? client.stop() : undefined;
}

module.exports = { activate, deactivate };

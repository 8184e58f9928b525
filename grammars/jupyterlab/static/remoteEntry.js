// An extension of JupyterLab that needs no build: the file type by which the language server is chosen.
var _JUPYTERLAB = _JUPYTERLAB || {};
_JUPYTERLAB.pathdsl = {
  init: () => undefined,
  get: () =>
    Promise.resolve(() => ({
      __esModule: true,
      default: {
        id: "pathdsl:circuit",
        autoStart: true,
        activate: (app) =>
          app.docRegistry.addFileType({
            name: "circuit",
            displayName: "Circuit",
            extensions: [".circuit"],
            mimeTypes: ["text/x-circuit"],
            fileFormat: "text",
            contentType: "file",
          }),
      },
    })),
};

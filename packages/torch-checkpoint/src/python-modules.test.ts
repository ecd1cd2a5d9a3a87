import { existsSync } from 'node:fs';
import { bytesSource } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { global, join, op, proto, REDUCE, STOP, text } from '../test/pickle-bytes.ts';
import { auditPickle } from './pickle-audit.ts';
import { unpickle } from './unpickle.ts';

/**
 * Callables by which published pickles run code, of picklescan's tests (`data` and `data2`), fickling's and modelscan's reports, and
 * of advisories up to 2026. Each is made here as a call that could only touch a file named `canary`.
 */
const PYTHON = `
  os.system os.popen os.execvl os.spawnl os.posix_spawn posix.system posix.popen nt.system nt.startfile ntpath.os.system
  subprocess.Popen subprocess.call subprocess.check_output subprocess.run subprocess.getoutput commands.getoutput popen2.popen3
  builtins.eval builtins.exec builtins.compile builtins.open builtins.__import__ builtins.setattr builtins.globals builtins.vars
  builtins.breakpoint builtins.input builtins.memoryview builtins.type builtins.map builtins.filter builtins.apply
  __builtin__.eval __builtin__.execfile __builtin__.apply __builtins__.eval
  runpy._run_code runpy.run_path runpy.run_module pty.spawn code.InteractiveInterpreter.runcode codeop.compile_command
  asyncio.unix_events._UnixSubprocessTransport._start asyncio.create_subprocess_shell multiprocessing.util.spawnv_passfds
  bdb.Bdb.run bdb.Bdb.runeval pdb.run pdb.Pdb.do_alias cProfile.run cProfile.runctx profile.Profile.runctx profile.run
  trace.Trace.run trace.Trace.runctx timeit.timeit timeit.main doctest.debug_script cgitb.lookup
  operator.attrgetter operator.itemgetter operator.methodcaller _operator.attrgetter functools.partial functools.reduce
  _functools.partial itertools.starmap importlib.import_module importlib.util.spec_from_file_location imp.load_source
  pkgutil.resolve_name pydoc.locate pydoc.pipepager pydoc.tempfilepager _pyrepl.pager.pipe_pager zipimport.zipimporter
  pickle.loads pickle.load _pickle.loads cPickle.loads marshal.loads shelve.open
  types.FunctionType types.CodeType types.MethodType sys.settrace sys.modules sys.exit gc.get_objects inspect.currentframe
  ctypes.CDLL ctypes.WinDLL ctypes.pythonapi _ctypes.dlopen mmap.mmap
  idlelib.autocomplete.AutoComplete.fetch_completions idlelib.calltip.get_entity idlelib.debugobj.ObjectTreeItem.SetText
  idlelib.pyshell.ModifiedInterpreter.runcode idlelib.run.Executive.runcode lib2to3.pgen2.grammar.Grammar.loads
  lib2to3.pgen2.pgen.ParserGenerator.make_label logging.config.fileConfig logging.FileHandler distutils.file_util.write_file
  ensurepip._run_pip venv.create venv.EnvBuilder pip.main pip._internal.main pip._internal.cli.main.main site.main
  test.support.script_helper.assert_python_ok unittest.mock._importer webbrowser.open webbrowser._synthesize antigravity.webbrowser.open
  _aix_support._read_cmd_output _osx_support._find_build_tool _osx_support._read_output uuid._get_command_stdout platform.popen
  imaplib.IMAP4_stream smtplib.SMTP ftplib.FTP telnetlib.Telnet nntplib.NNTP poplib.POP3 http.client.HTTPSConnection
  http.server.test urllib.request.urlopen urllib2.urlopen urllib.urlretrieve socket.socket socket.create_connection
  ssl.get_server_certificate socketserver.TCPServer xmlrpc.client.ServerProxy wsgiref.simple_server.make_server
  shutil.rmtree shutil.copyfile tempfile.mkstemp tarfile.open zipfile.ZipFile zipapp.create_archive sqlite3.connect
  tkinter.Tcl _tkinter.create turtle.Turtle curses.setupterm signal.signal atexit.register threading.Thread _thread.start_new_thread
  concurrent.futures.ProcessPoolExecutor io.open io.FileIO _io.FileIO _io.open io.open_code pathlib.os.system
  collections.namedtuple collections._sys.exit argparse._sys.exit argparse.FileType enum.sys.exit datetime.sys.exit
  codecs.decode codecs.open _codecs.lookup copyreg.__newobj__ copy_reg.add_extension copy.deepcopy typing.get_type_hints
  string.Formatter.vformat ast.literal_eval dis.dis symtable.symtable py_compile.compile compileall.compile_file
  fileinput.input linecache.getline netrc.netrc plistlib.loads configparser.ConfigParser json.load csv.reader
  six.moves.builtins.eval future.builtins.exec past.builtins.execfile setuptools.setup pkg_resources.load_entry_point wheel.cli.main
`;

/** Functions of torch and NumPy that compile, load or run what they are given. */
const PACKAGES = `
  torch.load torch.hub.load torch.hub.load_state_dict_from_url torch.jit.load torch.storage._load_from_bytes
  torch.serialization.load torch.serialization.os.system torch.package.package_importer.PackageImporter.os.system
  torch.jit.unsupported_tensor_ops.execWrapper torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression
  torch._dynamo.guards.GuardBuilder.get torch._inductor.codecache.compile_file torch.utils._config_module.ConfigModule.load_config
  torch.utils.collect_env.run torch.utils.bottleneck.__main__.run_cprofile torch.utils.bottleneck.__main__.run_autograd_prof
  torch.utils.cpp_extension.load_inline torch.utils.data.datapipes.utils.decoder.basichandlers torch.ops.load_library
  torch.distributed.rpc.internal._internal_rpc_pickler.loads torch.multiprocessing.spawn torch.compile torch.os.system
  numpy.load numpy.testing._private.utils.runstring numpy.f2py.crackfortran.getlincoef numpy.f2py.crackfortran.myeval
  numpy.f2py.crackfortran._eval_length numpy.f2py.crackfortran.param_eval numpy.f2py.diagnose.run numpy.__builtins__.eval
  numpy.distutils.exec_command.exec_command numpy.lib.npyio.load numpy.ctypeslib.load_library numpy.os.system
  numpy._core._methods.os.system numpy.core.records.fromfile numpy.vectorize.__globals__
`;

const attacks = [PYTHON, PACKAGES].flatMap((names) => names.trim().split(/\s+/));

/** Where the module ends: before the first part that begins with a capital, is hidden, or is the last one. */
function split(name: string): [module: string, name: string][] {
  const parts = name.split('.');
  return parts.slice(1).map((_, at) => [parts.slice(0, at + 1).join('.'), parts.slice(at + 1).join('.')]);
}

describe('rows 1, 2: a callable by which pickles run code', () => {
  it.each(attacks)('%s is refused, however it is spelt', async (attack) => {
    for (const [module, name] of split(attack)) {
      const call = [op('MARK'), text('touch canary'), op('TUPLE'), REDUCE, STOP];
      const named = join(proto(2), global(module, name), ...call);
      const stacked = join(proto(4), text(module), text(name), op('STACK_GLOBAL'), ...call);
      for (const bytes of [named, stacked]) {
        expect(() => unpickle(bytes, 'data.pkl'), `${module} ${name}`).toThrow(
          expect.objectContaining({
            code: 'CPT_PICKLE_FORBIDDEN_GLOBAL',
            message: expect.stringContaining(`it names ${attack}`),
          }),
        );
        const { globals } = await auditPickle(bytesSource(bytes), 'data.pkl');
        expect(globals).toMatchObject([{ name: attack, count: 1, builds: 'refused' }]);
      }
    }
  });

  it('is many, and none of them was run', () => {
    expect(attacks.length).toBeGreaterThan(200);
    expect(new Set(attacks).size).toBe(attacks.length);
    expect(existsSync('canary')).toBe(false);
  });
});

describe('a class of another package is inert', () => {
  it.each([
    'megatron.core.enums ModelType',
    'transformer_engine.common.recipe Format',
    'dill._dill _create_function',
    'cloudpickle.cloudpickle _make_function',
    'joblib.numpy_pickle NumpyArrayWrapper',
    'omegaconf.dictconfig DictConfig',
    '__main__ Args',
  ])('%s: nothing is looked up, and what it is called with is kept', async (spelt) => {
    const [module = '', name = ''] = spelt.split(' ');
    const bytes = join(proto(2), global(module, name), op('MARK'), text('touch canary'), op('TUPLE'), REDUCE, STOP);
    expect(unpickle(bytes, 'data.pkl')).toMatchObject({ kind: 'record', global: spelt, args: ['touch canary'] });
    expect((await auditPickle(bytesSource(bytes), 'data.pkl')).globals).toMatchObject([{ builds: 'inert record' }]);
    expect(existsSync('canary')).toBe(false);
  });
});

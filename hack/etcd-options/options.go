package main

import (
	"fmt"
	"go/ast"
	"sort"
	"strings"
)

// fileKey is one place in the configuration file.
type fileKey struct {
	path []string
	typ  string
}

// options joins flags and file keys over the field of embed.Config that both set.
func (s source) options() ([]option, error) {
	targets := s.flagTargets()
	keys := s.fileKeys()
	byName := map[string]fileKey{}
	for _, key := range keys {
		byName[strings.Join(key.path, "/")] = key
	}
	out := []option{}
	for flag, target := range targets {
		key, ok := keys[target]
		if !ok {
			key, ok = byName[flag] // set through a string of the file: URLs, cors, feature-gates
		}
		if !ok {
			out = append(out, option{Flag: flag})
			continue
		}
		typ, err := fileType(key.typ)
		if err != nil {
			return nil, fmt.Errorf("flag %s: %w", flag, err)
		}
		out = append(out, option{Flag: flag, Path: key.path, Type: typ})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Flag < out[j].Flag })
	return out, nil
}

func fileType(goType string) (string, error) {
	switch goType {
	case "string", "config.V2DeprecationEnum":
		return "string", nil
	case "bool":
		return "bool", nil
	case "int", "int64":
		return "int", nil
	case "uint", "uint32", "uint64":
		return "uint", nil
	case "time.Duration":
		return "duration", nil
	case "[]string":
		return "strings", nil
	}
	return "", fmt.Errorf("its file key has the type %s, which is new", goType)
}

// fileKeys lists, by field of embed.Config (`TickMs`, `PeerTLSInfo.CertFile`), what a file can set.
func (s source) fileKeys() map[string]fileKey {
	keys := map[string]fileKey{}
	for _, f := range append(s.structs["Config"], s.structs["configJSON"]...) {
		nested, isNested := s.structs[strings.TrimPrefix(f.typ, "transport.")]
		switch {
		case f.key == "" || f.key == "-":
		case isNested && f.typ == "transport.SocketOpts":
			for _, inner := range nested {
				keys[f.name+"."+inner.name] = fileKey{[]string{f.key, inner.key}, inner.typ}
			}
		case f.typ == "securityConfig":
			s.securityKeys(keys, f)
		case f.typ != "?" && !isNested:
			keys[f.name] = fileKey{[]string{f.key}, f.typ}
		}
	}
	return keys
}

// securityKeys follows the assignments of `copySecurityDetails` (`tls.CertFile = ysc.CertFile`) and
// those beside it (`cfg.PeerAutoTLS = cfg.PeerSecurityJSON.AutoTLS`).
func (s source) securityKeys(keys map[string]fileKey, section field) {
	info := strings.TrimSuffix(section.name, "SecurityJSON") + "TLSInfo"
	inner := map[string]field{}
	for _, f := range s.structs["securityConfig"] {
		inner[f.name] = f
	}
	s.assignments(func(left string, right ast.Expr) {
		from := selector(right)
		if to, ok := strings.CutPrefix(left, "tls."); ok {
			if f, ok := inner[strings.TrimPrefix(from, "ysc.")]; ok && strings.HasPrefix(from, "ysc.") {
				keys[info+"."+to] = fileKey{[]string{section.key, f.key}, f.typ}
			}
		}
		if name, ok := strings.CutPrefix(from, "cfg."+section.name+"."); ok {
			if f, ok := inner[name]; ok {
				keys[strings.TrimPrefix(left, "cfg.")] = fileKey{[]string{section.key, f.key}, f.typ}
			}
		}
	})
}

// flagTargets lists every flag with the field it sets, empty where it sets none of embed.Config's.
func (s source) flagTargets() map[string]string {
	targets := map[string]string{}
	s.calls(func(call *ast.CallExpr) {
		name := strings.TrimPrefix(selector(call.Fun), "fs.")
		if !strings.HasPrefix(selector(call.Fun), "fs.") || !strings.HasSuffix(name, "Var") || len(call.Args) < 3 {
			return
		}
		if flag, ok := literal(call.Args[1]); ok {
			targets[flag] = configField(selector(call.Args[0]))
		}
	})
	// Flags with a type of their own reach the field later: cfg.ec.CORS = flags.X(flagSet, "cors").
	s.assignments(func(left string, right ast.Expr) {
		call, ok := right.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 || !strings.HasPrefix(selector(call.Fun), "flags.") {
			return
		}
		flag, ok := literal(call.Args[len(call.Args)-1])
		if _, known := targets[flag]; ok && known && strings.HasPrefix(left, "cfg.") {
			targets[flag] = configField(left)
		}
	})
	for _, f := range s.structs["configJSON"] {
		if f.key == "feature-gates" { // added by the gates themselves, not by a call on fs
			targets[f.key] = f.name
		}
	}
	return targets
}

func configField(target string) string {
	return strings.TrimPrefix(strings.TrimPrefix(target, "cfg."), "ec.")
}

func (s source) calls(visit func(*ast.CallExpr)) {
	for _, file := range s.files {
		ast.Inspect(file, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok {
				visit(call)
			}
			return true
		})
	}
}

func (s source) assignments(visit func(left string, right ast.Expr)) {
	for _, file := range s.files {
		ast.Inspect(file, func(node ast.Node) bool {
			assign, ok := node.(*ast.AssignStmt)
			if ok && len(assign.Lhs) == 1 && len(assign.Rhs) == 1 {
				visit(selector(assign.Lhs[0]), assign.Rhs[0])
			}
			return true
		})
	}
}

// features reads the gates with their defaults, and which experimental flag became which gate.
func (s source) features() (map[string]bool, map[string]string) {
	gates, gateOf := map[string]bool{}, map[string]string{}
	for _, file := range s.files {
		ast.Inspect(file, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			body, ok := spec.Values[0].(*ast.CompositeLit)
			if !ok {
				return true
			}
			for _, element := range body.Elts {
				pair, ok := element.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				switch spec.Names[0].Name {
				case "DefaultEtcdServerFeatureGates":
					gates[selector(pair.Key)] = defaultOf(pair.Value)
				case "ExperimentalFlagToFeatureMap":
					if flag, ok := literal(pair.Key); ok {
						gateOf[flag] = selector(pair.Value)
					}
				}
			}
			return true
		})
	}
	return gates, gateOf
}

func defaultOf(spec ast.Expr) bool {
	body, ok := spec.(*ast.CompositeLit)
	if !ok {
		return false
	}
	for _, element := range body.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if ok && selector(pair.Key) == "Default" {
			return selector(pair.Value) == "true"
		}
	}
	return false
}

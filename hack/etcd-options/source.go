package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// source is what the parsed files say: struct fields by struct name, and every syntax tree.
type source struct {
	structs map[string][]field
	files   []*ast.File
}

type field struct{ name, key, typ string } // key: the json tag, empty without one

func parseDirs(dirs ...string) (source, error) {
	parsed := source{structs: map[string][]field{}}
	for _, dir := range dirs {
		paths, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			return parsed, err
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return parsed, err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
			if err != nil {
				return parsed, err
			}
			parsed.files = append(parsed.files, file)
			parsed.collectStructs(file)
		}
	}
	return parsed, nil
}

func (s source) collectStructs(file *ast.File) {
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.TypeSpec)
		if !ok {
			return true
		}
		body, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		fields := []field{}
		for _, each := range body.Fields.List {
			key := ""
			if each.Tag != nil {
				tag, _ := strconv.Unquote(each.Tag.Value)
				key, _, _ = strings.Cut(reflect.StructTag(tag).Get("json"), ",")
			}
			for _, name := range each.Names {
				fields = append(fields, field{name.Name, key, typeName(each.Type)})
			}
		}
		s.structs[spec.Name.Name] = fields
		return true
	})
}

func typeName(expr ast.Expr) string {
	switch t := expr.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.SelectorExpr:
		return typeName(t.X) + "." + t.Sel.Name
	case *ast.ArrayType:
		return "[]" + typeName(t.Elt)
	}
	return "?"
}

// selector writes `cfg.ec.PeerTLSInfo.CertFile` for such an expression, and "" for any other.
func selector(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return selector(e.X) + "." + e.Sel.Name
	case *ast.UnaryExpr:
		return selector(e.X)
	case *ast.StarExpr:
		return selector(e.X)
	}
	return ""
}

func literal(expr ast.Expr) (string, bool) {
	lit, ok := expr.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

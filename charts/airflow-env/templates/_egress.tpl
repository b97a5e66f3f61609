{{/*
Blocks of addresses in a network policy. The addresses where clouds hand out credentials are taken out of every block
that holds one; a block that is such an address itself stays. Templates cannot compare addresses, so this is arithmetic:
a block is a list of numbers of .width bits each.
*/}}
{{- define "podenv.metadataAddresses" -}}
- 169.254.169.254/32        # AWS, Azure, Google, OpenStack and most others
- 100.100.100.200/32        # Alibaba
- fd00:ec2::254/128         # AWS
- fd20:ce::254/128          # Google
- fd00:c1::a9fe:a9fe/128    # Oracle
- fe80::a9fe:a9fe/128       # OpenStack
{{- end }}

{{/* One block as {width, numbers, bits}. */}}
{{- define "podenv.parseBlock" -}}
{{- $address := index (splitList "/" .) 0 -}}
{{- $numbers := list -}}
{{- $width := 8 -}}
{{- if contains ":" $address -}}
{{- $width = 16 -}}
{{- $halves := splitList "::" $address -}}
{{- $before := compact (splitList ":" (first $halves)) -}}
{{- $after := list -}}
{{- if gt (len $halves) 1 }}{{ $after = compact (splitList ":" (last $halves)) }}{{ end -}}
{{- range $before }}{{ $numbers = append $numbers (int64 (printf "0x%s" .)) }}{{ end -}}
{{- range until (int (sub 8 (add (len $before) (len $after)))) }}{{ $numbers = append $numbers 0 }}{{ end -}}
{{- range $after }}{{ $numbers = append $numbers (int64 (printf "0x%s" .)) }}{{ end -}}
{{- else -}}
{{- range splitList "." $address }}{{ $numbers = append $numbers (int64 .) }}{{ end -}}
{{- end -}}
{{- dict "width" $width "numbers" $numbers "bits" (index (splitList "/" .) 1 | int64) | toYaml -}}
{{- end }}

{{/* "yes" if .block holds .address and more. */}}
{{- define "podenv.holds" -}}
{{- $block := include "podenv.parseBlock" .block | fromYaml -}}
{{- $address := include "podenv.parseBlock" .address | fromYaml -}}
{{- $width := int $block.width -}}
{{- $holds := and (eq $width (int $address.width)) (lt (int $block.bits) (int $address.bits)) -}}
{{- if $holds }}
{{- range $index, $number := $block.numbers }}
{{- $free := sub $width (sub (int $block.bits) (mul $index $width)) | max 0 | min $width -}}
{{- $size := 1 -}}
{{- range until (int $free) }}{{ $size = mul $size 2 }}{{ end -}}
{{- if ne (div $number $size) (div (index $address.numbers $index) $size) }}{{ $holds = false }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if $holds }}yes{{ end -}}
{{- end }}

{{/* A peer of the values as a NetworkPolicyPeer. */}}
{{- define "podenv.peer" -}}
{{- $peer := omit . "cidr" "ports" -}}
{{- with .cidr }}
{{- $block := dict "cidr" . -}}
{{- $closed := list -}}
{{- range include "podenv.metadataAddresses" $ | fromYamlArray }}
{{- if include "podenv.holds" (dict "block" $block.cidr "address" .) }}{{ $closed = append $closed . }}{{ end -}}
{{- end -}}
{{- with $closed }}{{ $_ := set $block "except" . }}{{ end -}}
{{- $peer = dict "ipBlock" $block -}}
{{- end -}}
{{- $peer | toYaml -}}
{{- end }}
